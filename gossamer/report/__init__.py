"""Rendering: tables for a terminal, pictures, and the HTML page. It shows numbers and computes none."""
