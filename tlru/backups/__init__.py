"""Backups: their form, and how one comes to stand on a disk, whole or not at all."""
