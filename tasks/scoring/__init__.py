"""The champion's predictions for a batch.

Where do I go to change ...?

    predictions.py   what is written to the lake, and under which name
    task.py          predicting a batch, and holding labels against predictions

How a model is asked for predictions is in tasks/prediction.py, which others share.
"""
