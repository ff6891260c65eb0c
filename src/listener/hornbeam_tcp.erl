%%% TCP and Unix sockets of a server: ranch_tcp with hornbeam_accept.
%%%
%%% Called by: Ranch; connections then use ranch_tcp itself (base/0). Calls: ranch_tcp, hornbeam_accept.
-module(hornbeam_tcp).

-define(BASE, ranch_tcp).
-define(ACCEPT, public).
-include("hornbeam_transport.hrl").
