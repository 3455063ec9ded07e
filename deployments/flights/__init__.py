"""The built-in example: will a flight out of New York City arrive late?

Where do I go to change ...?

    model.yaml    the model spec
    features.py   the model's own features
    extract.py    the source: a year of flights as monthly files
    planted.py    what goes wrong in the demo's year, and what found it

Its contract is data_contracts/flights.odcs.yaml.
"""
