"""The plant's secrets: encrypted files beside site.toml, made and kept with sops and age.

Where what lies is in docs/secrets.md. The values are in the files' ciphertext, in memory, and on
pipes; never in an argument, a log, or a file that stays.
"""
