"""Verification: does InfluxDB hold what the servers recorded, all of it and nothing else?

`catalogue` numbers what the site declares; `points` are values as columns; `rules` say what has to
be stored; `values` and `results` compare; `reference` computes models anew by their definition;
`store` and `records` read the two sides; `run` puts them together, `report` tells.
"""
