"""The network: architecture, training, export."""
