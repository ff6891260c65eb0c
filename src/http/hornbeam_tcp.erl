%%% TCP and Unix sockets as Cowboy gets them: ranch_tcp with what hornbeam_transport.hrl adds.
%%%
%%% Called by: Ranch, Cowboy. Calls: ranch_tcp, hornbeam_clock.
-module(hornbeam_tcp).

-define(BASE, ranch_tcp).
-include("hornbeam_transport.hrl").
