"""Apache Airflow provider for Alibaba Cloud PAI-DSW notebook instances."""

__version__ = "1.0.0rc1"
