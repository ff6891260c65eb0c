%%% Sockets of metrics_bind, which have a share in the descriptors that are kept back: ranch_tcp with hornbeam_accept.
%%%
%%% Called by: Ranch, Cowboy. Calls: ranch_tcp, hornbeam_accept.
-module(hornbeam_metrics_tcp).

-define(BASE, ranch_tcp).
-define(ACCEPT, kept).
-include("hornbeam_transport.hrl").
