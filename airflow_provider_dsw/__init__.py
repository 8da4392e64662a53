"""Apache Airflow provider for Alibaba Cloud PAI-DSW notebook instances."""

__version__ = "0.1.0"
