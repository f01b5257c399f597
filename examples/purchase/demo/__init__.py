"""The demo: `python -m purchase.demo` buys twice, and the second time the shipment fails and the money comes back."""
