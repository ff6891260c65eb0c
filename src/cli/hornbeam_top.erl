%%% `hornbeam top': what a running server does, anew each second.
%%%
%%% Called by: hornbeam_cli. Calls: hornbeam_control_client (which asks the server), hornbeam_top_screen, hornbeam_terminal.
%%%
%%% On a terminal it is drawn again and again until `q'; keys order the workers. Elsewhere (on other systems than Linux it says so), and with --once, two takes that are a second apart are printed
%%% as one page. It asks once a second; a server that ends ends it.
-module(hornbeam_top).

-export([run/1]).

-define(SECOND, 1000).
-define(HIDE, "\e[?25l").
-define(SHOW, "\e[?25h").
-define(ONCE, "drawn once: to draw it each second, and for keys, top needs Linux (/proc)").
-define(HELP, "q quit   order: n name, r requests/s, i in flight, m memory, l lag").

-spec run(Arguments :: [string()]) -> {ok, unicode:chardata()} | {error, unicode:chardata()} | {usage, unicode:chardata()}.
run(Arguments) ->
    case hornbeam_control_client:locate(Arguments -- ["--once"]) of
        {ok, Path} ->
            case hornbeam_control_client:data("figures", Path) of
                {ok, First} -> shown(lists:member("--once", Arguments) orelse hornbeam_terminal:raw(os:type()), First, Path);
                Error -> Error
            end;
        NotFound ->
            NotFound
    end.

shown({ok, Saved}, First, Path) ->
    io:put_chars(?HIDE),
    Ended = draw(First, First, name, Path, now_ms()),
    io:put_chars([?SHOW, "\n"]),
    ok = hornbeam_terminal:restore(Saved),
    Ended;
shown(unknown, First, Path) ->
    case shown(none, First, Path) of
        {ok, Page} -> {ok, [Page, "\n", ?ONCE, "\n"]};
        Error -> Error
    end;
shown(_TrueOrNone, First, Path) ->
    receive after ?SECOND -> ok end,
    case hornbeam_control_client:data("figures", Path) of
        {ok, Second} -> {ok, [[Line, $\n] || Line <- hornbeam_top_screen:lines(First, Second, name)]};
        Error -> Error
    end.

%% At: when Now was taken.
draw(Before, Now, Order, Path, At) ->
    {Rows, Columns} = hornbeam_terminal:size(),
    Lines = hornbeam_top_screen:lines(Before, Now, Order) ++ ["", ?HELP],
    Fitting = [string:slice(unicode:characters_to_list(Line), 0, Columns) || Line <- lists:sublist(Lines, Rows)],
    io:put_chars(["\e[H", lists:join("\e[K\n", Fitting), "\e[K\e[J"]),
    case hornbeam_terminal:keys() of
        closed -> {ok, ""};
        Keys -> typed(Keys, Before, Now, Order, Path, At)
    end.

typed([Key | _], _, _, _, _, _) when Key =:= $q; Key =:= $Q; Key =:= 3; Key =:= 4 ->
    {ok, ""};
typed([Key | Rest], Before, Now, Order0, Path, At) ->
    Order = case hornbeam_top_screen:order(Key) of {ok, New} -> New; error -> Order0 end,
    typed(Rest, Before, Now, Order, Path, At);
typed([], Before, Now, Order, Path, At) ->
    case now_ms() - At >= ?SECOND of
        false -> draw(Before, Now, Order, Path, At);
        true ->
            case hornbeam_control_client:data("figures", Path) of
                {ok, Next} -> draw(Now, Next, Order, Path, now_ms());
                Error -> Error
            end
    end.

now_ms() ->
    erlang:monotonic_time(millisecond).
