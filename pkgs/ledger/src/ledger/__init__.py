"""Counts what InfluxDB holds of each hour, and asks again for what it lost."""
