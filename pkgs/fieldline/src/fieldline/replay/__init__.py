"""Replay: the models over the recorded inputs again, with other functions if wanted.

`selection` says which models with which functions; `run` computes them piece by piece, by the
reference that `fieldline verify` uses; `difference` compares with what is stored; `shadow` keeps
the results in a measurement of their own.
"""
