"""Packet scripts: an interpreter of the packetdrill language for this engine.

A script is a list of timed lines: packets of the peer (`<`), packets that the
engine has to send (`>`), and system calls of the application with the results
that they must have.

    0    socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
    +0   bind(3, ..., ...) = 0
    +0   listen(3, 1) = 0
    +0   < S 0:0(0) win 65535 <mss 1460>
    +0   > S. 0:0(0) ack 1 <mss 1460>
    +.1  < . 1:1(0) ack 1 win 65535
    +0   accept(3, ..., ...) = 4

The parts, from the text to the verdict:

    script        what a script consists of
    reader        its lines                       packet_lines, call_lines: two kinds of them
    passive       rewrites an active open as a passive one
    setup         the options and sysctls that the engine has an answer to
    sockets       the engine behind socket calls, on virtual time
    flow          a connection's numbers: the script's and the wire's
    inbound       the peer's packets, as bytes
    expectation   which packet of the engine answers to which line, and when
    comparison    whether it is the packet that the line describes
    system_calls  what the application does       xtcp_calls: what sockets have no words for
    tcp_info      what blocks of code assert about a connection
    player        the timeline that drives all of them
    verdicts      one script, in a process of its own; the summary of many

Written from the published description of the language.  Nothing here knows how
the engine works inside: it sees packets and the calls of `xtcp_twisted.engine`.
"""
