"""Historical access (OPC 10000-11) on the record that the server keeps anyway."""

from opc_server.history.capabilities import offer_history
from opc_server.history.manager import History

__all__ = ["History", "offer_history"]
