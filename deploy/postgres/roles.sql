-- Run once, on an empty data folder: one role and one database for each who needs one, and nothing
-- of another's. Passwords come from the server's environment and stand in no file.
\set ON_ERROR_STOP on
\getenv airflow AIRFLOW_DB_PASSWORD
\getenv celery CELERY_DB_PASSWORD
\getenv mlflow MLFLOW_DB_PASSWORD

create role airflow login nosuperuser nocreatedb nocreaterole password :'airflow';
create role celery login nosuperuser nocreatedb nocreaterole password :'celery';
create role mlflow login nosuperuser nocreatedb nocreaterole password :'mlflow';

create database airflow owner airflow;
create database celery owner celery;
create database mlflow owner mlflow;

-- Without this every role may connect to every database.
revoke all on database airflow, celery, mlflow, postgres from public;
