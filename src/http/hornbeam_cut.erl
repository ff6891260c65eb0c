%%% Ends an HTTP/1 connection in the middle of a response.
%%%
%%% Called by: Cowboy, as the protocol that takes over the connection (hornbeam_stream asks for it). A stream handler has no
%%% other way to keep Cowboy from completing a chunked response that is not complete.
-module(hornbeam_cut).

-export([takeover/7]).

-spec takeover(pid(), ranch:ref(), inet:socket(), module(), cowboy:opts(), binary(),
               close | reset) -> no_return().
takeover(_Parent, _Ref, Socket, Transport, _Opts, _Buffer, How) ->
    _ = How =:= reset andalso Transport:setopts(Socket, [{linger, {true, 0}}]),
    ok = Transport:close(Socket),
    exit({shutdown, cut}).
