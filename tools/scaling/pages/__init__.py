"""The pages: report.html of a bundle, index.html over many. Joins evidence and render."""
