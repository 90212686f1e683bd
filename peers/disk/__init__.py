"""What survives a restart: `Disk` in `disk.py`, its files, and what of them is believed."""
