"""``python -m benchmarks growth``: what grows with the number of connections, and what must not.

Two halves.  Inside one process, over a memory link with clients that are only packets
(`inside`, `steps`): everything that a server of a million connections has to do now and then -
opening, closing one and all, the clock hand, snapshots, the console's second, censuses,
broadcasts, the end - is timed at each number of connections: all of it, and the longest
single turn of the reactor, in which nobody else is served.  And with real clients of the
kernel (`kernel`): what a message costs and what a connection takes, over the number of
connections and over the size of a message.
"""
