"""The champion's predictions: of open rows as they come, and of a batch when it has closed.

Where do I go to change ...?

    config.py        what a spec may say of scoring
    served.py        the record of what was served for open rows
    predictions.py   the predictions of a closed batch in the lake
    skew.py          whether served rows had the features that their batch has
    delivered.py     what a delivered row holds; current.py: the newest one of each key
    sinks/           where they are delivered: tables and files
    writing.py       files of predictions for people
    task.py          the Prefect tasks

How a model is asked for predictions is in tasks/prediction.py, which others share.
"""
