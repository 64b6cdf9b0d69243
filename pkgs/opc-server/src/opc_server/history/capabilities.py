"""What the address space says of the history (OPC 10000-11, clause 5)."""

from __future__ import annotations

from asyncua import ua

from opc_server.history.manager import NODES_PER_REQUEST, VALUES_PER_ANSWER
from opc_server.history.processed import DEFAULT_QUALITY
from opc_server.nodes import APPLICATION, Builder, data_value
from opc_server.opcua import ObjectIds, node_id

# No asset has a name with a space in it.
CONFIGURATION = "HA Configuration"
BOOLEAN, BYTE = ua.VariantType.Boolean, ua.VariantType.Byte


def offer_history(make: Builder) -> ua.NodeId:
    """Say what history there is, and which aggregates.

    Returns:
        The historical configuration, one for all variables.
    """
    for name in (
        "AccessHistoryEventsCapability",
        "InsertDataCapability",
        "ReplaceDataCapability",
        "UpdateDataCapability",
        "DeleteRawCapability",
        "DeleteAtTimeCapability",
        "InsertEventCapability",
        "ReplaceEventCapability",
        "UpdateEventCapability",
        "DeleteEventCapability",
        "InsertAnnotationCapability",
        "ServerTimestampSupported",
    ):
        make.set(getattr(ObjectIds, f"HistoryServerCapabilities_{name}"), False, BOOLEAN)
    make.set(ObjectIds.HistoryServerCapabilities_AccessHistoryDataCapability, True, BOOLEAN)
    limits = ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerHistoryReadData
    for node, limit in (
        (ObjectIds.HistoryServerCapabilities_MaxReturnDataValues, VALUES_PER_ANSWER),
        (ObjectIds.HistoryServerCapabilities_MaxReturnEventValues, 0),
        (limits, NODES_PER_REQUEST),
    ):
        make.set(node, limit, ua.VariantType.UInt32)
    # No limit: a continuation point holds all that is needed to go on.
    make.set(
        ObjectIds.Server_ServerCapabilities_MaxHistoryContinuationPoints,
        0,
        ua.VariantType.UInt16,
    )
    for folder in (
        ObjectIds.Server_ServerCapabilities_AggregateFunctions,
        ObjectIds.HistoryServerCapabilities_AggregateFunctions,
    ):
        make.join(make[folder], ObjectIds.Organizes, make[ObjectIds.AggregateFunction_Count])
    return _configuration(make)


def _configuration(make: Builder) -> ua.NodeId:
    """The historical configuration: raw values as they were sampled, aggregates by default."""
    configuration = make.object(
        node_id(CONFIGURATION, APPLICATION),
        ua.QualifiedName(CONFIGURATION, 0),
        ObjectIds.HistoricalDataConfigurationType,
    )
    aggregates = make.object(
        node_id(f"{CONFIGURATION}.AggregateConfiguration", APPLICATION),
        ua.QualifiedName("AggregateConfiguration", 0),
        ObjectIds.AggregateConfigurationType,
    )
    make.join(configuration, ObjectIds.HasComponent, aggregates)
    for owner, name, value, kind in (
        (configuration, "Stepped", False, BOOLEAN),
        (configuration, "ServerTimestampSupported", False, BOOLEAN),
        (aggregates, "TreatUncertainAsBad", DEFAULT_QUALITY.uncertain_is_bad, BOOLEAN),
        (aggregates, "PercentDataBad", DEFAULT_QUALITY.percent_bad, BYTE),
        (aggregates, "PercentDataGood", DEFAULT_QUALITY.percent_good, BYTE),
        (aggregates, "UseSlopedExtrapolation", False, BOOLEAN),
    ):
        node = make.variable(
            node_id(f"{CONFIGURATION}.{name}", APPLICATION),
            ua.QualifiedName(name, 0),
            ObjectIds.PropertyType,
            int(kind),
            data_value(value, kind),
            0.0,
        )
        make.join(owner, ObjectIds.HasProperty, node)
    return configuration.nodeid
