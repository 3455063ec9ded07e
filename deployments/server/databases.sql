-- The same three databases that 'kingmaker up --database' makes.
CREATE DATABASE kingmaker_ledger;
CREATE DATABASE kingmaker_prefect;
CREATE DATABASE kingmaker_mlflow;
