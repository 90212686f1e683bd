"""The pure part of `peers`: no asyncio, sockets, disk, clock or chance of its own."""
