"""Airflow: assets, retry rules, schedules, and an embedded Airflow that runs one chain."""
