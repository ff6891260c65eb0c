%%% A page of the dashboard: the shared state, how large it is, what is large in it. A value is shown when somebody asks for that key, and not before.
%%%
%%% Called by: hornbeam_dashboard_page. Calls: hornbeam_state, hornbeam_state_store (sizes/1), hornbeam_cache_store (stats/0), hornbeam_dashboard_html.
%%%
%%% Limits: what is large is found by looking at ?LOOKED_AT entries at most, once for each time that somebody asks.
-module(hornbeam_dashboard_state).
-behaviour(hornbeam_dashboard_page).

-export([title/0, live/0, parts/1]).

-import(hornbeam_dashboard_html, [table/3, facts/1, bytes/1, duration/1, anchor/2, escape/1, query/1]).

-define(LOOKED_AT, 50000).
-define(SHOWN, 50).
%% Characters of a key and of a value.
-define(LONGEST_KEY, 200).
-define(LONGEST_VALUE, 20000).
%% A key in an address.
-define(LONGEST_ADDRESS, 2000).

-spec title() -> string().
title() -> "Shared state".

-spec live() -> pos_integer().
live() -> 2000.

-spec parts(hornbeam_dashboard_page:context()) -> [hornbeam_dashboard_page:part()].
parts(#{query := Query}) ->
    Words = ets:info(hornbeam_state, memory),
    Info = hornbeam_state:info(),
    Facts = [{"Entries", maps:get(entries, Info)}, {"The table takes", bytes(Words * erlang:system_info(wordsize))}]
        ++ [{"Bytes of keys and values", bytes(N)} || #{bytes := N} <- [Info]] ++ [{"Evicted", N} || #{evicted := N} <- [Info]],
    [{live, <<"state">>, facts(Facts)}, {fixed, fun() -> asked(Query) end}, {live, <<"cache">>, cache()}].

asked(#{<<"key">> := Encoded}) -> value(Encoded);
asked(#{<<"look">> := _}) -> contents(hornbeam_state_store:sizes(?LOOKED_AT));
asked(_) -> ["<p>", hornbeam_dashboard_html:cell(anchor("/state?look=1", "Look what is in it")), ": keys and sizes, no values.</p>"].

contents(Rows) ->
    Prefixes = maps:to_list(lists:foldl(fun({Key, Bytes, _}, Acc) ->
        maps:update_with(prefix(Key), fun({N, Sum}) -> {N + 1, Sum + Bytes} end, {1, Bytes}, Acc)
    end, #{}, Rows)),
    [[io_lib:format("<p>~b entries were looked at.</p>", [?LOOKED_AT]) || length(Rows) >= ?LOOKED_AT],
     table({"By prefix", "Nothing is in it."}, ["Prefix", {number, "Entries"}, {number, "Bytes"}],
           [[Prefix, N, bytes(Sum)] || {Prefix, {N, Sum}} <- largest(fun({_, {N, Sum}}) -> {Sum, N} end, Prefixes)]),
     table({"Largest", "Nothing is in it."}, ["Key", {number, "Bytes"}, "Expires in", "Value"],
           [[shown(Key), bytes(Bytes), left(Left), show(Key)] || {Key, Bytes, Left} <- largest(fun({_, Bytes, _}) -> Bytes end, Rows)])].

largest(Size, Items) ->
    Sorted = lists:sort([{Size(Item), Number} || {Number, Item} <- lists:enumerate(Items)]),
    Numbered = maps:from_list(lists:enumerate(Items)),
    [maps:get(Number, Numbered) || {_, Number} <- lists:sublist(lists:reverse(Sorted), ?SHOWN)].

%% Up to the first sign that people put between the parts of a name.
prefix(Key) when is_binary(Key) ->
    case re:run(Key, "^[^:/.|]{1,60}[:/.|]", [{capture, first, binary}]) of
        {match, [Prefix]} -> <<Prefix/binary, $*>>;
        nomatch -> <<"(other text)">>
    end;
prefix(_) -> <<"(no text)">>.

shown(Key) when is_binary(Key) -> string:slice(printable(Key), 0, ?LONGEST_KEY);
shown(Key) -> string:slice(unicode:characters_to_binary(io_lib:format("~0tp", [Key])), 0, ?LONGEST_KEY).

printable(Text) ->
    case unicode:characters_to_binary(Text) of
        Text -> Text;
        _ -> iolist_to_binary(io_lib:format("~0p", [Text]))
    end.

left(never) -> none;
left(Ms) when Ms =< 0 -> <<"now">>;
left(Ms) -> duration(Ms).

show(Key) ->
    case base64:encode(term_to_binary(Key)) of
        Encoded when byte_size(Encoded) =< ?LONGEST_ADDRESS -> anchor(["/state", query([{<<"key">>, Encoded}])], "Show");
        _ -> none
    end.

value(Encoded) ->
    case key(Encoded) of
        {ok, Key} ->
            Text = case hornbeam_state:get(Key) of
                {ok, Value} -> io_lib:format("~tp", [Value], [{chars_limit, ?LONGEST_VALUE}]);
                error -> "There is no such key any more."
            end,
            ["<h2>", escape(shown(Key)), "</h2><pre tabindex=\"0\">", escape(Text), "</pre>"];
        error -> "<p>That is no key.</p>"
    end.

%% What an address brings makes no atoms.
key(Encoded) ->
    try {ok, binary_to_term(base64:decode(Encoded), [safe])}
    catch error:_ -> error
    end.

cache() ->
    case hornbeam_cache_store:stats() of
        Stats when is_map(Stats), map_size(Stats) > 0 ->
            ["<h2>Results computed once</h2>", facts([{atom_to_list(Key), Value} || {Key, Value} <- lists:sort(maps:to_list(Stats)), is_number(Value)])];
        _ -> []
    end.
