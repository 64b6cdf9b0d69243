"""Provisioning: Kafka's topics and InfluxDB's organisation, bucket, user and tokens.

It is run by the one-shot units `kafka-provision` and `influxdb-provision`, on NixOS and in the lab.
"""
