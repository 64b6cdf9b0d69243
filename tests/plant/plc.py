"""An OPC UA server that is not ours, as a PLC would be: one pump, one variable, no record.

python plc.py ENDPOINT
"""

import asyncio
import sys

from asyncua import Server, ua


async def main(endpoint: str) -> None:
    server = Server()
    await server.init()
    server.set_endpoint(endpoint)
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    namespace = await server.register_namespace("urn:example:plc")
    pump = await server.nodes.objects.add_object(ua.NodeId("pump1", namespace), "pump1")
    flow = await pump.add_variable(ua.NodeId("pump1.Flow", namespace), "Flow", 10.0)
    async with server:
        print("serving", flush=True)
        value = 10.0
        while True:
            value += 0.25
            await flow.write_value(value)
            await asyncio.sleep(1)


asyncio.run(main(sys.argv[1]))
