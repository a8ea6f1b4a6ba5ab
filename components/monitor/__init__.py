"""The command `kdflow monitor`: compares what a served model detects with what it detected in the test pictures."""
