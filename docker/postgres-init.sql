-- One database a program; run by the Postgres image when its volume is new.
CREATE DATABASE dagster;
CREATE DATABASE mlflow;
