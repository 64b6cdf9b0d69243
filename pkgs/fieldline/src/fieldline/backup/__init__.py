"""Backup and restore of a database host: what Kafka and InfluxDB hold, in one archive.

`parts` says what is copied and which units it belongs to; `manifest` what an archive says of
itself, from the `facts` of a host; `archive` writes and reads one; `snapshot` takes a copy while a
server stands still; `take` is the backup; `journal` and `restore` are the way back, which a kill at
any point does not break; `checks` refuses; `host` and `disk` are the effects.
"""
