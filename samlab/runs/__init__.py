"""The same work for many pictures, and reports."""
