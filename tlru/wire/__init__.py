"""What clients and nodes say to each other: requests, replies, values and their two encodings."""
