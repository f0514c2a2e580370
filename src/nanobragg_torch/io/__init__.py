"""Readers and writers of files, a module for each format."""
