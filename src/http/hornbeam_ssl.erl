%%% TLS sockets as Cowboy gets them: ranch_ssl with what hornbeam_transport.hrl adds.
%%%
%%% Called by: Ranch, Cowboy. Calls: ranch_ssl, hornbeam_clock.
-module(hornbeam_ssl).

-define(BASE, ranch_ssl).
-include("hornbeam_transport.hrl").
