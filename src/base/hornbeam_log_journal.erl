%%% Events of OTP's logger as entries of systemd's journal, with fields, by its native protocol.
%%%
%%% Called by: hornbeam_log (open/1, write/2 in the process that logs). Calls: hornbeam_log_format (fields/1), hornbeam_json, gen_udp.
%%%
%%% An entry is one datagram to ?SOCKET: KEY=VALUE, a line each; a value with line breaks is KEY, its length as 64 bits little-endian, itself.
%%% Whether standard error is the journal systemd says by JOURNAL_STREAM: device and inode of the stream that it has given
%%% (systemd.exec(5)); a program below that has sent standard error elsewhere is not meant. HORNBEAM_JOURNAL_SOCKET is another path of the
%%% socket. Nobody waits: an entry that the journal does not take at once goes to standard error as text.
-module(hornbeam_log_journal).

-export([open/1, write/2]).
-export_type([journal/0]).

-include_lib("kernel/include/file.hrl").

-define(SOCKET, "/run/systemd/journal/socket").
%% A datagram has no more room by default.
-define(LONGEST, 131072).

-record(journal, {socket :: gen_udp:socket(), path :: string()}).
-opaque journal() :: #journal{}.

%% @doc Where standard error is the journal. Owner: the socket is open as long as this process.
-spec open(Owner :: pid()) -> {ok, journal()} | none.
open(Owner) ->
    Path = os:getenv("HORNBEAM_JOURNAL_SOCKET", ?SOCKET),
    case is_standard_error(os:getenv("JOURNAL_STREAM", "")) andalso is_there(Path) andalso gen_udp:open(0, [local, {active, false}]) of
        {ok, Socket} ->
            ok = gen_udp:controlling_process(Socket, Owner),
            {ok, #journal{socket = Socket, path = Path}};
        _ ->
            none
    end.

is_there(Path) -> element(1, file:read_file_info(Path)) =:= ok.

is_standard_error("") -> false;
is_standard_error(Stream) ->
    case file:read_file_info("/proc/self/fd/2") of
        {ok, #file_info{major_device = Device, inode = Inode}} -> Stream =:= lists:flatten(io_lib:format("~b:~b", [Device, Inode]));
        {error, _} -> false
    end.

-spec write(logger:log_event(), journal()) -> ok | {error, term()}.
write(Event, #journal{socket = Socket, path = Path}) ->
    try gen_udp:send(Socket, {local, Path}, 0, entry(Event))
    catch error:badarg -> {error, closed}
    end.

entry(#{level := Level} = Event) ->
    Fields = hornbeam_log_format:fields(Event),
    Message = lists:join($\n, [Text || {Key, Text} <- Fields, Key =:= message orelse Key =:= exception]),
    [field("MESSAGE", cut(iolist_to_binary(Message))), field("PRIORITY", [priority(Level)]), field("SYSLOG_IDENTIFIER", "hornbeam")
     | [named(["HORNBEAM_", string:uppercase(atom_to_list(Key))], Value) || {Key, Value} <- Fields, not lists:member(Key, [message, exception, time_us, level])]].

%% What an object has is a field each.
named(Name, Map) when is_map(Map) -> [named([Name, $_, string:uppercase(atom_to_list(Key))], Value) || {Key, Value} <- lists:sort(maps:to_list(Map))];
named(Name, Value) -> field(Name, value(Value)).

value(Number) when is_integer(Number) -> integer_to_binary(Number);
value([Line | _] = Lines) when is_binary(Line) -> cut(iolist_to_binary(lists:join($\n, Lines)));
value(List) when is_list(List) -> cut(iolist_to_binary(hornbeam_json:encode(List)));
value(Text) -> cut(Text).

cut(Text) when byte_size(Text) > ?LONGEST -> binary:part(Text, 0, ?LONGEST);
cut(Text) -> Text.

field(Key, Value0) ->
    Value = iolist_to_binary(Value0),
    case binary:match(Value, <<"\n">>) of
        nomatch -> [Key, $=, Value, $\n];
        _ -> [Key, $\n, <<(byte_size(Value)):64/little>>, Value, $\n]
    end.

%% syslog(3).
priority(emergency) -> $0;
priority(alert) -> $1;
priority(critical) -> $2;
priority(error) -> $3;
priority(warning) -> $4;
priority(notice) -> $5;
priority(info) -> $6;
priority(debug) -> $7.
