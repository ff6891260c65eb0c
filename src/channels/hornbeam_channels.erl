%%% The channels of a server: where its clients connect, and which topics Erlang handles.
%%%
%%% Called by: hornbeam_listener (context/2, where a server has channels), hornbeam_server (check/1, before a start and a reload), hornbeam_channel_connection. Calls: hornbeam_servers.
%%%
%%% A topic belongs to the module of Erlang's whose pattern fits, the longest one that does; every other one to Python, which knows its own
%%% patterns (hornbeam_worker/channels.py).
-module(hornbeam_channels).

-export([check/1, context/2, handler/2, topic/1, of_topic/1]).

%% @doc Whether the modules that handle topics can be called; from then on they can.
-spec check(Config :: map()) -> ok | {error, {bad_option, channel_modules, binary()}}.
check(#{channel_modules := Modules}) -> check_modules([Module || {_, Module} <- Modules]).

check_modules([]) ->
    ok;
check_modules([Module | Rest]) ->
    Loaded = case code:is_loaded(Module) of
        false -> code:load_file(Module);        % in embedded mode as well
        _ -> {module, Module}
    end,
    case Loaded of
        {module, _} ->
            case erlang:function_exported(Module, join, 3) andalso erlang:function_exported(Module, handle_in, 3) of
                true -> check_modules(Rest);
                false -> wrong("names the module ~ts, which does not export join/3 and handle_in/3", [Module])
            end;
        {error, nofile} -> wrong("names the module ~ts, which is in no folder of the code path (erlang_path)", [Module]);
        {error, Reason} -> wrong("names the module ~ts, which cannot be loaded (~tp)", [Module, Reason])
    end.

wrong(Format, Arguments) ->
    {error, {bad_option, channel_modules, unicode:characters_to_binary(io_lib:format(Format, Arguments))}}.

%% @doc What hornbeam_exchange has to know: whose connection it becomes, of which pool and which paths; of a stream's the first that fits.
-spec context(Server :: atom(), Config :: map()) -> hornbeam_exchange:channels().
context(Server, #{channels_path := Path, events_path := Events, root_path := Root}) ->
    Roots = lists:usort([<<>>, Root]),
    #{pool => {Server, <<>>}, guest => hornbeam_channel_connection, streams => hornbeam_channel_events,
      paths => [<<Prefix/binary, Path/binary, Suffix/binary>> || Prefix <- Roots, Suffix <- [<<>>, <<"/websocket">>]],
      stream_paths => [<<Prefix/binary, Events/binary, $/>> || Events =/= <<>>, Prefix <- lists:reverse(Roots)]}.

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
