"""Places in consumer groups that a killed process has left taken.

A group gives the partitions of a member that is gone to nobody until its session has run out, 10 s
in Telegraf, which cannot be told otherwise. Whoever starts again can say at once that it is gone:
LeaveGroup takes a member's id, and does not ask who sends it.
Source: https://kafka.apache.org/protocol.html (DescribeGroups, LeaveGroup).
"""

from __future__ import annotations

from collections.abc import Sequence

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import UnknownMemberIdError, for_code
from aiokafka.protocol.group import LeaveGroupRequest

from fieldline.errors import FieldlineError


async def leave(client: AIOKafkaAdminClient, groups: Sequence[str], client_id: str) -> list[str]:
    """Have the members of a client leave their groups.

    Args:
        client_id: of a client that does not run. One that does joins again, a second later.
    Returns:
        The ids of the members that left.
    Raises:
        FieldlineError: the broker refuses. KafkaError: it does not answer.
    """
    left = []
    for group in groups:
        coordinator = await client.find_coordinator(group)
        (answer,) = await client.describe_consumer_groups([group], coordinator)
        for member in answer.to_object()["groups"][0]["members"]:
            if member["client_id"] != client_id:
                continue
            name = member["member_id"]
            response = await client._send_request(  # noqa: SLF001 - there is no public call
                LeaveGroupRequest(group, name), coordinator
            )
            # One whose session ran out meanwhile has left by itself.
            if response.error_code not in (0, UnknownMemberIdError.errno):
                cause = for_code(response.error_code).__name__
                raise FieldlineError(f"Kafka refused to have {name} leave {group}.", cause)
            left.append(name)
    return left
