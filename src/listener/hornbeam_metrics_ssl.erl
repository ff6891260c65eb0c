%%% Sockets of dashboard_bind with TLS, which have a share in the descriptors that are kept back: ranch_ssl with hornbeam_accept.
%%%
%%% Called by: Ranch, Cowboy, for hornbeam_side_listener. Calls: ranch_ssl, hornbeam_accept.
-module(hornbeam_metrics_ssl).

-define(BASE, ranch_ssl).
-define(ACCEPT, kept).
-include("hornbeam_transport.hrl").
