%%% Text in and about options: reading strings as users write them, quoting values in messages, suggesting names.
%%%
%%% Pure functions. Called by the other modules of src/options; calls nothing of the project.
-module(hornbeam_option_text).

-export([to_text/1, is_text/1, entry/1, show/1, suggest/2, enumerate/1, names/1]).

%% A message quotes at most this many characters of a value.
-define(SHOWN, 120).

%% A string or a UTF-8 binary as a binary. NUL is refused: neither paths nor environment variables can carry it.
-spec to_text(term()) -> {ok, binary()} | error.
to_text(Value) when is_binary(Value) ->
    case unicode:characters_to_list(Value) of
        Chars when is_list(Chars) -> no_nul(Value);
        _ -> error
    end;
to_text(Value) ->
    case is_chars(Value) of
        true -> encode(Value);
        false -> error
    end.

%% True for what can only be meant as one piece of text: [] may as well be an empty list.
-spec is_text(term()) -> boolean().
is_text(Value) ->
    is_binary(Value) orelse (Value =/= [] andalso is_chars(Value)).

%% "NAME=VALUE;key=value;key=value": the name, its value, and the rest, a key alone where nothing is said of it.
-spec entry(binary()) -> {ok, Name :: binary(), Value :: binary(), [{binary(), binary()} | {binary()}]} | error.
entry(Text) ->
    [Front | Rest] = [string:trim(Part) || Part <- binary:split(Text, <<";">>, [global])],
    case binary:split(Front, <<"=">>) of
        [Name, Value] -> {ok, Name, Value, [list_to_tuple(binary:split(Part, <<"=">>)) || Part <- Rest, Part =/= <<>>]};
        [_] -> error
    end.

%% A value as a message quotes it, cut where it is long and with control characters replaced.
-spec show(term()) -> iodata().
show(Value) ->
    case is_text(Value) andalso to_text(Value) of
        {ok, Text} -> unicode:characters_to_binary([$", [printable(C) || C <- shorten(Text)], $"]);
        _ -> unicode:characters_to_binary(io_lib:format("~0tp", [Value], [{chars_limit, ?SHOWN}]))
    end.

%% "; did you mean NAME?" for the candidate that is nearest to what was written, or nothing.
-spec suggest(term(), [string()]) -> iodata().
suggest(Written, Candidates) ->
    case written(Written) of
        {ok, Word} ->
            Near = [{distance(Word, Candidate), Candidate} || Candidate <- Candidates],
            nearest(lists:sort(Near), length(Word));
        error ->
            ""
    end.

%% ["a", "b", "c"] as "a, b or c".
-spec enumerate([iodata()]) -> iodata().
enumerate([One]) -> One;
enumerate(Several) ->
    {Front, [Last]} = lists:split(length(Several) - 1, Several),
    [lists:join(", ", Front), " or ", Last].

-spec names([atom()]) -> [string()].
names(Atoms) -> [atom_to_list(Atom) || Atom <- Atoms].

encode(Chars) ->
    case unicode:characters_to_binary(Chars) of
        Text when is_binary(Text) -> no_nul(Text);
        _ -> error
    end.

no_nul(Text) ->
    case binary:match(Text, <<0>>) of
        nomatch -> {ok, Text};
        _ -> error
    end.

is_chars([C | Rest]) when is_integer(C), C >= 0, C =< 16#10FFFF -> is_chars(Rest);
is_chars(Rest) -> Rest =:= [].

shorten(Text) ->
    Chars = unicode:characters_to_list(Text),
    case length(Chars) > ?SHOWN of
        true -> lists:sublist(Chars, ?SHOWN) ++ "...";
        false -> Chars
    end.

printable(C) when C < 32; C >= 127, C < 160 -> $?;
printable(C) -> C.

written(Word) when is_atom(Word) -> {ok, atom_to_list(Word)};
written(Word) ->
    case to_text(Word) of
        {ok, Text} -> {ok, lists:sublist(unicode:characters_to_list(Text), 64)};
        error -> error
    end.

nearest([{Distance, Name} | _], Length) when Distance * 3 =< Length; Distance =< 1 ->
    ["; did you mean ", Name, "?"];
nearest(_, _) ->
    "".

%% Levenshtein's distance, one row at a time.
distance(Word, Other) ->
    First = lists:seq(0, length(Other)),
    {Row, _} = lists:foldl(fun(C, {Above, N}) -> {row(C, Other, Above, [N]), N + 1} end, {First, 1}, Word),
    lists:last(Row).

row(_, [], _, Row) ->
    lists:reverse(Row);
row(C, [O | Others], [Diagonal | [Above | _] = Rest], [Left | _] = Row) ->
    Cost = case C =:= O of true -> 0; false -> 1 end,
    row(C, Others, Rest, [lists:min([Left + 1, Above + 1, Diagonal + Cost]) | Row]).
