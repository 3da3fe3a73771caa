"""The generated bindings to the WIT. componentize-py puts its own package here when it builds a component.

Outside a component this package is empty. `epilogue._host` tells the two cases apart."""
