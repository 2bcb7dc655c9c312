"""The few hot operations. One file an operation: its plain torch version defines the meaning."""
