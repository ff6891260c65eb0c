%%% HTML of the dashboard: whatever is not written in these modules is escaped. Pure.
%%%
%%% Called by: every page of src/dashboard. Calls: nothing.
%%%
%%%     cell()   what is shown: text, a number, none; or {html, Made}, which was made here and is put in as it is
-module(hornbeam_dashboard_html).

-export([escape/1, cell/1, table/3, facts/1, section/2, anchor/2, button/3, bytes/1, duration/1, number/1, query/1]).
-export_type([cell/0, html/0]).

-type html() :: iodata().
-type cell() :: none | atom() | binary() | number() | string() | {html, html()}.

%% @doc Text as it may stand between tags and in attributes. What is no UTF-8, or what a browser would not show, is U+FFFD.
-spec escape(unicode:chardata() | atom()) -> html().
escape(Atom) when is_atom(Atom) -> escape(atom_to_binary(Atom));
escape(Text) when is_binary(Text) -> escape(Text, <<>>);
escape(Text) ->
    case unicode:characters_to_binary(Text) of
        Binary when is_binary(Binary) -> escape(Binary, <<>>);
        _ -> escape(iolist_to_binary(io_lib:format("~0tp", [Text])), <<>>)
    end.

escape(<<$<, Rest/binary>>, Acc) -> escape(Rest, <<Acc/binary, "&lt;">>);
escape(<<$>, Rest/binary>>, Acc) -> escape(Rest, <<Acc/binary, "&gt;">>);
escape(<<$&, Rest/binary>>, Acc) -> escape(Rest, <<Acc/binary, "&amp;">>);
escape(<<$", Rest/binary>>, Acc) -> escape(Rest, <<Acc/binary, "&quot;">>);
escape(<<$', Rest/binary>>, Acc) -> escape(Rest, <<Acc/binary, "&#39;">>);
escape(<<C, Rest/binary>>, Acc) when C < $\s, C =/= $\n, C =/= $\t; C =:= 127 -> escape(Rest, <<Acc/binary, 16#fffd/utf8>>);
escape(<<C/utf8, Rest/binary>>, Acc) -> escape(Rest, <<Acc/binary, C/utf8>>);
escape(<<_, Rest/binary>>, Acc) -> escape(Rest, <<Acc/binary, 16#fffd/utf8>>);
escape(<<>>, Acc) -> Acc.

-spec cell(cell()) -> html().
cell({html, Html}) -> Html;
cell(none) -> <<"&ndash;">>;
cell(Number) when is_number(Number) -> number(Number);
cell(Text) -> escape(Text).

%% @doc A table. Columns: {number, Heading} for those that are numbers. Empty: what is said where there are no rows.
-spec table({Caption :: string(), Empty :: string()}, [string() | {number, string()}], [[cell()]]) -> html().
table({Caption, Empty}, _Columns, []) ->
    ["<h3>", escape(Caption), "</h3><p class=\"none\">", escape(Empty), "</p>"];
table({Caption, _}, Columns, Rows) ->
    ["<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"", escape(Caption), "\"><table><caption>", escape(Caption), "</caption><thead><tr>",
     [heading(Column) || Column <- Columns], "</tr></thead><tbody>", [row(Columns, Row) || Row <- Rows], "</tbody></table></div>"].

heading({number, Heading}) -> ["<th scope=\"col\" class=\"number\">", escape(Heading), "</th>"];
heading(Heading) -> ["<th scope=\"col\">", escape(Heading), "</th>"].

row([_ | Columns], [First | Cells]) ->
    ["<tr><th scope=\"row\">", cell(First), "</th>", [data(Column, Cell) || {Column, Cell} <- lists:zip(Columns, Cells)], "</tr>"].

data({number, _}, Cell) -> ["<td class=\"number\">", cell(Cell), "</td>"];
data(_, Cell) -> ["<td>", cell(Cell), "</td>"].

%% @doc Names and values.
-spec facts([{string(), cell()}]) -> html().
facts(Facts) ->
    ["<dl class=\"facts\">", [["<div><dt>", escape(Name), "</dt><dd>", cell(Value), "</dd></div>"] || {Name, Value} <- Facts], "</dl>"].

-spec section(Heading :: string(), html()) -> html().
section(Heading, Html) ->
    ["<h2>", escape(Heading), "</h2>", Html].

%% @doc Path: of the dashboard itself, as it is written there.
-spec anchor(Path :: iodata(), Text :: cell()) -> cell().
anchor(Path, Text) ->
    {html, ["<a href=\"", escape(Path), "\">", cell(Text), "</a>"]}.

%% @doc A form of one button: Fields and the token go back to the path. Label: what it does, and to what, for who does not see the row.
-spec button(Text :: string(), Label :: iodata(), [{string(), iodata()}]) -> html().
button(Text, Label, Fields) ->
    ["<form method=\"post\" action=\"/actions\">", [["<input type=\"hidden\" name=\"", Name, "\" value=\"", escape(Value), "\">"] || {Name, Value} <- Fields],
     "<button aria-label=\"", escape(Label), "\">", escape(Text), "</button></form>"].

-spec bytes(number()) -> cell().
bytes(N) when N < 1000 -> iolist_to_binary([number(N), " B"]);
bytes(N) when N < 1000000 -> iolist_to_binary(io_lib:format("~.1f kB", [N / 1.0e3]));
bytes(N) when N < 1000000000 -> iolist_to_binary(io_lib:format("~.1f MB", [N / 1.0e6]));
bytes(N) -> iolist_to_binary(io_lib:format("~.2f GB", [N / 1.0e9])).

%% @doc Of ms.
-spec duration(number()) -> cell().
duration(Ms) when Ms < 10 -> iolist_to_binary(io_lib:format("~.1f ms", [float(Ms)]));
duration(Ms) when Ms < 1000 -> iolist_to_binary(io_lib:format("~b ms", [round(Ms)]));
duration(Ms) when Ms < 60000 -> iolist_to_binary(io_lib:format("~.1f s", [Ms / 1000]));
duration(Ms) when Ms < 3600000 -> long(round(Ms) div 1000, 60, "min", "s");
duration(Ms) when Ms < 86400000 -> long(round(Ms) div 60000, 60, "h", "min");
duration(Ms) -> long(round(Ms) div 3600000, 24, "d", "h").

long(Units, In, Large, Small) ->
    iolist_to_binary(io_lib:format("~b ~s ~b ~s", [Units div In, Large, Units rem In, Small])).

-spec number(number()) -> html().
number(N) when is_integer(N) -> integer_to_binary(N);
number(N) when abs(N) < 10 -> io_lib:format("~.2f", [N]);
number(N) -> io_lib:format("~.1f", [N]).

%% @doc The end of a path that is asked with these.
-spec query([{binary(), binary()}]) -> iodata().
query(Fields) -> [$?, uri_string:compose_query(Fields)].
