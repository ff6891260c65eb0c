%%% TLS sockets of a server: ranch_ssl with hornbeam_accept.
%%%
%%% Called by: Ranch; connections then use ranch_ssl itself (base/0). Calls: ranch_ssl, hornbeam_accept.
-module(hornbeam_ssl).

-define(BASE, ranch_ssl).
-define(ACCEPT, public).
-include("hornbeam_transport.hrl").
