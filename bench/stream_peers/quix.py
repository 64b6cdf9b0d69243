"""The same job with quixstreams, exactly-once: last value of each input, two results per input.

python quix.py ADDRESS INPUT OUTPUT GROUP
"""

import sys
import tempfile

from quixstreams import Application

address, source, target, group = sys.argv[1:]
VARIABLES = ("Temperature", "Pressure", "SlowSensor")

app = Application(
    broker_address=address,
    consumer_group=group,
    auto_offset_reset="earliest",
    processing_guarantee="exactly-once",
    state_dir=tempfile.mkdtemp(),
    loglevel="ERROR",
)
inputs = app.topic(source, value_deserializer="json")
outputs = app.topic(target, value_serializer="json")


def step(record, state):
    """Give both results, once all inputs are known."""
    asset, time = record["tags"]["asset"], record["timestamp"]
    known = state.get("known", {})
    for name, value in record["fields"].items():
        if name in VARIABLES:
            known[name] = value
    state.set("known", known)
    if len(known) < len(VARIABLES):
        return []
    values = [abs(known[name]) for name in VARIABLES]
    product = values[0] * values[1] * values[2]
    return [
        {"name": name, "value": value, "timestamp": time, "asset": asset, "revision": 0}
        for name, value in (("model1", sum(values) / 3), ("model2", product ** (1 / 3)))
    ]


frame = app.dataframe(inputs)
frame = frame.apply(step, stateful=True, expand=True)
frame.to_topic(outputs)
app.run()
