"""An OPC UA server for the assets that a site declares on one of its own servers."""
