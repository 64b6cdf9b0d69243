"""What other hosts tell over the network: whether a port answers, metrics, Kafka's offsets.

Each question is asked once, with a time limit; what goes wrong is part of the answer, in words.
"""
