%%% The channels of a server: where its clients connect, and which topics Erlang handles.
%%%
%%% Called by: hornbeam_listener (context/2, where a server has channels), hornbeam_channel_connection. Calls: hornbeam_servers.
%%%
%%% A topic belongs to the module of Erlang's whose pattern fits, the longest one that does; every other one to Python, which knows its own
%%% patterns (hornbeam_worker/channels.py).
-module(hornbeam_channels).

-export([context/2, handler/2, topic/1, of_topic/1]).

%% @doc What hornbeam_exchange has to know: whose connection it becomes, of which pool and which paths.
-spec context(Server :: atom(), Config :: map()) -> hornbeam_exchange:channels().
context(Server, #{channels_path := Path, events_path := Events, root_path := Root}) ->
    Roots = lists:usort([<<>>, Root]),
    #{pool => {Server, <<>>}, guest => hornbeam_channel_connection, streams => hornbeam_channel_events,
      paths => [<<Prefix/binary, Path/binary, Suffix/binary>> || Prefix <- Roots, Suffix <- [<<>>, <<"/websocket">>]],
      stream_paths => [<<Prefix/binary, Events/binary, $/>> || Events =/= <<>>, Prefix <- Roots]}.

%% @doc Who handles a topic.
-spec handler(Topic :: binary(), [hornbeam_option_channel:channel()]) -> python | module().
handler(Topic, Modules) ->
    case lists:sort([{-byte_size(Pattern), Module} || {Pattern, Module} <- Modules, fits(Topic, Pattern)]) of
        [{_, Module} | _] -> Module;
        [] -> python
    end.

fits(Topic, Topic) -> true;
fits(Topic, Pattern) ->
    Size = byte_size(Pattern) - 1,
    case {Topic, Pattern} of
        {<<Start:Size/binary, _/binary>>, <<Start:Size/binary, $*>>} -> true;
        _ -> false
    end.

%% @doc The topic of publish/subscribe that what is broadcast to a topic of channels goes through.
-spec topic(binary()) -> hornbeam_pubsub:topic().
topic(Topic) -> <<"channel:", Topic/binary>>.

-spec of_topic(hornbeam_pubsub:topic()) -> binary().
of_topic(<<"channel:", Topic/binary>>) -> Topic.
