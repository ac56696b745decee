"""`make demo`: a real campaign on this machine, end to end, checked against the carrier's own log.

Nothing here is part of the product. The demo starts the lab (sip-lab's carrier and phones), runs
`dialer serve` and the commands a user would type, watches, and then compares what Overdial wrote
down with what the carrier saw, call by call.
"""
