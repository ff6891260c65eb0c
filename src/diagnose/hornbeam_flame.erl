%%% What can be made of a profile in the collapsed form: a flame graph as a page that needs nothing else, speedscope's JSON.
%%%
%%% Called by: hornbeam_diagnose_client, whoever shows a profile. Calls: hornbeam_json. Pure.
%%%
%%% A flame graph: from the bottom up who calls whom; the width of a frame is how often it was seen. Frames beside each other are ordered by name. A frame narrower
%%% than ?NARROW of a thousand is left out, with what is above it.
-module(hornbeam_flame).

-export([parse/1, svg/2, html/2, speedscope/2]).
-export_type([profile/0]).

-type profile() :: [{Frames :: [binary()], Count :: pos_integer()}].
-type tree() :: #{binary() => {Count :: pos_integer(), tree()}}.

-define(WIDTH, 1200).
-define(HEIGHT, 18).
-define(NARROW, 0.3).
-define(DEEPEST, 200).

%% @doc The lines of a profile; those that begin with # say something else.
-spec parse(Collapsed :: binary()) -> profile().
parse(Collapsed) ->
    lists:append([line(Line) || Line <- binary:split(Collapsed, <<"\n">>, [global, trim_all]), binary:first(Line) =/= $#]).

line(Line) ->
    case string:split(Line, <<" ">>, trailing) of
        [Stack, Count] ->
            case string:to_integer(Count) of
                {N, <<>>} when is_integer(N), N > 0 -> [{binary:split(Stack, <<";">>, [global]), N}];
                _ -> []
            end;
        _ -> []
    end.

-spec tree(profile()) -> tree().
tree(Profile) -> lists:foldl(fun({Frames, Count}, Tree) -> add(lists:sublist(Frames, ?DEEPEST), Count, Tree) end, #{}, Profile).

add([], _Count, Tree) ->
    Tree;
add([Frame | Rest], Count, Tree) ->
    {Before, Above} = maps:get(Frame, Tree, {0, #{}}),
    Tree#{Frame => {Before + Count, add(Rest, Count, Above)}}.

%% @doc The picture. A frame has its name and its share as its title; those who cannot see it have the same as text.
-spec svg(profile(), Title :: unicode:chardata()) -> unicode:chardata().
svg(Profile, Title) ->
    Total = lists:sum([Count || {_, Count} <- Profile]),
    Rows = rows(tree(Profile), 0, 0, max(1, Total)),
    Depth = lists:max([0 | [Level || {Level, _, _, _} <- Rows]]) + 1,
    Height = (Depth + 1) * ?HEIGHT,
    [io_lib:format("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 ~b ~b\" font-family=\"monospace\" font-size=\"11\" role=\"img\">\n", [?WIDTH, Height]),
     ["<title>", escape(Title), "</title>\n"],
     [["<text x=\"4\" y=\"13\">nothing was seen: all threads waited</text>\n"] || Rows =:= []],
     [frame(Row, Height, Total) || Row <- Rows], "</svg>\n"].

rows(Tree, Level, X, Total) ->
    {Rows, _} = lists:mapfoldl(fun({Name, {Count, Above}}, At) -> {row(Name, Count, Above, Level, At, Total), At + Count} end, X, lists:sort(maps:to_list(Tree))),
    lists:append(Rows).

row(_Name, Count, _Above, _Level, _X, Total) when Count * 1000 < ?NARROW * Total -> [];
row(Name, Count, Above, Level, X, Total) -> [{Level, X, Count, Name} | rows(Above, Level + 1, X, Total)].

frame({Level, X, Count, Name}, Height, Total) ->
    Left = X * ?WIDTH / Total,
    Width = Count * ?WIDTH / Total,
    Top = Height - (Level + 1) * ?HEIGHT,
    Share = io_lib:format(" (~b, ~.1f %)", [Count, Count * 100 / Total]),
    [io_lib:format("<g><title>~ts</title><rect x=\"~.2f\" y=\"~b\" width=\"~.2f\" height=\"~b\" fill=\"~ts\" stroke=\"#fff\" stroke-width=\"0.5\"/>",
                   [[escape(Name), Share], Left, Top, Width, ?HEIGHT, colour(Name)]),
     case trunc((Width - 6) / 6.7) of
         Room when Room >= 3 -> io_lib:format("<text x=\"~.2f\" y=\"~b\" fill=\"#000\">~ts</text>", [Left + 3, Top + 13, escape(shortened(Name, Room))]);
         _ -> []
     end, "</g>\n"].

shortened(Name, Room) ->
    case string:length(Name) =< Room of
        true -> Name;
        false -> [string:slice(Name, 0, Room - 2), ".."]
    end.

%% The same for the same name; warm, and light enough for black letters.
colour(Name) ->
    Hash = erlang:phash2(Name),
    io_lib:format("rgb(~b,~b,~b)", [215 + Hash rem 40, 120 + Hash div 64 rem 90, 50 + Hash div 8192 rem 60]).

escape(Text) ->
    lists:foldl(fun({What, With}, In) -> string:replace(In, What, With, all) end, unicode:characters_to_binary(Text),
                [{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}]).

%% @doc A page with the picture and, for who does not see it, the stacks as a table.
-spec html(profile(), Title :: unicode:chardata()) -> unicode:chardata().
html(Profile, Title) ->
    Top = lists:sublist(lists:reverse(lists:keysort(2, Profile)), 50),
    ["<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>", escape(Title), "</title>\n"
     "<style>body{font:14px sans-serif;margin:1em}svg{width:100%;height:auto}g:hover rect{stroke:#000}"
     "td{padding:2px 8px;vertical-align:top;overflow-wrap:anywhere}</style></head><body>\n<h1>", escape(Title), "</h1>\n",
     svg(Profile, Title), "<table><caption>The stacks that were seen most</caption><tr><th>samples</th><th>stack</th></tr>\n",
     [["<tr><td>", integer_to_list(Count), "</td><td>", escape(lists:join(<<" > ">>, Frames)), "</td></tr>\n"] || {Frames, Count} <- Top],
     "</table></body></html>\n"].

%% @doc The file format of https://www.speedscope.app, a profile of samples.
-spec speedscope(profile(), Title :: unicode:chardata()) -> unicode:chardata().
speedscope(Profile, Title) ->
    Names = lists:usort(lists:append([Frames || {Frames, _} <- Profile])),
    Index = maps:from_list(lists:zip(Names, lists:seq(0, length(Names) - 1))),
    Total = lists:sum([Count || {_, Count} <- Profile]),
    Numbers = fun(List) -> ["[", lists:join(",", [integer_to_list(N) || N <- List]), "]"] end,
    ["{\"$schema\":\"https://www.speedscope.app/file-format-schema.json\",\"shared\":{\"frames\":[",
     lists:join(",", [["{\"name\":\"", hornbeam_json:escape(Name), "\"}"] || Name <- Names]), "]},\"profiles\":[{\"type\":\"sampled\",\"name\":\"",
     hornbeam_json:escape(unicode:characters_to_binary(Title)), "\",\"unit\":\"none\",\"startValue\":0,\"endValue\":", integer_to_list(Total), ",\"samples\":[",
     lists:join(",", [Numbers([maps:get(Frame, Index) || Frame <- Frames]) || {Frames, _} <- Profile]), "],\"weights\":",
     Numbers([Count || {_, Count} <- Profile]), "}],\"exporter\":\"hornbeam\"}\n"].
