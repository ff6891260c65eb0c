%%% The options of channels: a part of the table of options (hornbeam_option_table, which says what an entry is).
-module(hornbeam_option_table_channels).

-export([channels/0, path/1, optional_path/1]).

-define(MAX_MS, 16#FFFFFFFF).

-spec channels() -> [hornbeam_option_types:spec()].
channels() ->
    [#{group => channels, key => channels, type => {optional, app}, default => "", scope => server, metavar => "TARGET",
       doc => "Channels of the root application, as MODULE:ATTRIBUTE: a Channel, a list of them or a Channels. Each web worker imports it. \"\" for none."},
     #{group => channels, key => channel_modules, flag => "channel-module", metavar => "PATTERN=MODULE", type => {list, {custom, hornbeam_option_channel}},
       default => [], scope => server,
       doc => "Topics that Erlang handles, by modules of the behaviour hornbeam_channel; the longest pattern that fits, and before those of channels."},
     #{group => channels, key => channels_path, type => text, default => "/socket", scope => server, check => fun path/1,
       doc => "Where clients of channels connect: a WebSocket at this path, or at \"/websocket\" below it."},
     #{group => channels, key => events_path, type => {optional, text}, default => "/events", scope => server, check => fun optional_path/1,
       doc => "Below which the topics of channels are streams of server-sent events: GET /events/TOPIC, where the channel authorizes it. \"\" for none."},
     #{group => channels, key => events_heartbeat, type => {timeout, ?MAX_MS}, unit => ms, default => 15000, scope => server,
       doc => "How often a stream of events has a comment while there is nothing to say, so that proxies do not end it."},
     #{group => channels, key => channel_max_joins, type => {integer, 1, 1000}, default => 100, scope => server,
       doc => "Topics that one connection may have joined at a time."},
     #{group => channels, key => channel_max_message, type => {integer, 64, 16#7FFFFFFF}, unit => bytes, default => 65536, scope => server,
       doc => "The longest message of a client of channels; a longer one closes the connection with 1009."},
     #{group => channels, key => channel_rate, type => {limit, 1, 1000000}, default => 100, scope => server,
       doc => "Messages a second that one connection may send for long, twice as many at once; more close it with 1008."},
     #{group => channels, key => channel_timeout, type => {timeout, ?MAX_MS}, unit => ms, default => 30000, scope => server,
       doc => "How long a handler in Python may take, and wait for a worker; then its client is answered with the error timeout."},
     #{group => channels, key => channel_history_bytes, type => {integer, 65536, 16#7FFFFFFFFFFFFFFF}, unit => bytes, default => 67108864, scope => server,
       doc => "What the histories of all topics of the node may take; the oldest messages of all are forgotten first."}].

-spec optional_path(binary()) -> ok | {error, iodata()}.
optional_path(<<>>) -> ok;
optional_path(Path) -> path(Path).

-spec path(binary()) -> ok | {error, iodata()}.
path(<<$/, _, _/binary>> = Path) ->
    case binary:last(Path) of
        $/ -> {error, "must not end with \"/\""};
        _ -> ok
    end;
path(_Path) ->
    {error, "must begin with \"/\" and name a path below it"}.
