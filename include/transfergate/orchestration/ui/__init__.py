"""The pages that Airflow shows under *Transfergate*: they read published files and write nothing.

``app`` puts together one router per page; ``guard`` says who may see what; ``shell`` is the frame
around every page; ``table`` draws every long table. FastAPI is imported with ``app``, which only
the API server does: every task process imports the plugin.
"""
