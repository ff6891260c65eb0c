%%% The sources, for what newer compilers than the one at hand warn of (and so refuse: warnings_as_errors): OTP 27 of `maybe' and
%%% `else' as plain atoms and of matching 0.0; OTP 29 of old-style `catch', `and' and `or', and of a variable that is bound
%%% inside an expression and used outside it.
-module(hornbeam_source_tests).

-include_lib("eunit/include/eunit.hrl").

sources_test_() ->
    {timeout, 60, [{filename:basename(File), ?_assertEqual([], complaints(File))} || File <- files()]}.

%% The rules themselves.
rules_test_() ->
    [{Text, ?_assertEqual(Expected, [What || {_, What} <- function(form(Text))])}
     || {Text, Expected} <- [
            {"f(X) -> X = 1, Y = 2, Y.", []},
            {"f(X) -> case Y = X of 1 -> Y end.", []},
            {"f(X) -> [Y || Z <- X, (Y = Z) =/= 1].", [{bound_inside, 'Y'}]},
            {"f(X) -> g(Y = X), Y.", [{bound_inside, 'Y'}]},
            {"f(X) -> g(begin Y = X, Y end).", []},
            {"f(X) -> g(fun() -> Y = X, Y end).", []},
            {"f(X) -> ok = g(X), {ok = X}.", []},
            {"f(X) -> catch X.", ['catch']},
            {"f(X) -> X and true.", ['and']},
            {"f(0.0) -> 1.", [matches_zero]},
            {"f(X) -> X * 0.0.", []}]].

files() ->
    [Root | _] = [R || R <- [".", "../../../..", filename:join(filename:dirname(code:which(?MODULE)), "../../../..")],
                       filelib:is_dir(filename:join(R, "src/wire"))],
    filelib:wildcard(filename:join(Root, "src/**/*.erl")) ++ filelib:wildcard(filename:join(Root, "test/*.erl")).

complaints(File) ->
    {ok, Forms} = epp:parse_file(File, [{includes, ["src", filename:join(filename:dirname(File), "..")]}]),
    lists:append([function(Form) || Form <- Forms]) ++ words(File).

%% Written without quotes. The scanner of an older OTP takes them for plain atoms.
words(File) ->
    {ok, Text} = file:read_file(File),
    {ok, Tokens, _} = erl_scan:string(unicode:characters_to_list(Text), 1, [text]),
    [{erl_scan:line(Token), Word}
     || {atom, _, Word} = Token <- Tokens, Word =:= 'maybe' orelse Word =:= 'else',
        hd(erl_scan:text(Token)) =/= $'].

form(Text) ->
    {ok, Tokens, _} = erl_scan:string(Text),
    {ok, Form} = erl_parse:parse_form(Tokens),
    Form.

function({function, _, _, _, Clauses}) -> clauses(Clauses);
function(_) -> [].

clauses(Clauses) ->
    lists:append([zeros(Patterns) ++ body(Body) || {clause, _, Patterns, _, Body} <- Clauses]).

body(Expressions) -> lists:append([statement(E) || E <- Expressions]).

%% Where a match may bind.
statement({match, _, Pattern, E}) -> zeros(Pattern) ++ statement(E);
statement(E) -> expression(E).

expression({match, Where, Pattern, E}) ->
    [{Where, {bound_inside, Name}} || Name <- variables(Pattern)] ++ expression(E);
expression({'catch', Where, E}) -> [{Where, 'catch'} | expression(E)];
expression({op, Where, Op, L, R}) when Op =:= 'and'; Op =:= 'or' -> [{Where, Op} | expression([L, R])];
expression({block, _, Body}) -> body(Body);
expression({'case', _, E, Clauses}) -> statement(E) ++ clauses(Clauses);
expression({'if', _, Clauses}) -> clauses(Clauses);
expression({'receive', _, Clauses}) -> clauses(Clauses);
expression({'receive', _, Clauses, After, Body}) -> clauses(Clauses) ++ expression(After) ++ body(Body);
expression({'try', _, Body, Clauses, Handlers, After}) -> body(Body) ++ clauses(Clauses ++ Handlers) ++ body(After);
expression({'fun', _, {clauses, Clauses}}) -> clauses(Clauses);
expression({named_fun, _, _, Clauses}) -> clauses(Clauses);
expression({Generate, _, Pattern, E}) when Generate =:= generate; Generate =:= b_generate -> zeros(Pattern) ++ expression(E);
expression(E) when is_tuple(E) -> expression(tuple_to_list(E));
expression(Es) when is_list(Es) -> lists:append([expression(E) || E <- Es, is_tuple(E) orelse is_list(E)]);
expression(_) -> [].

variables({var, _, '_'}) -> [];
variables({var, _, Name}) -> [Name];
variables(T) when is_tuple(T) -> variables(tuple_to_list(T));
variables([H | T]) -> variables(H) ++ variables(T);
variables(_) -> [].

zeros({float, Where, Zero}) when Zero == 0 -> [{Where, matches_zero}];
zeros(T) when is_tuple(T) -> zeros(tuple_to_list(T));
zeros([H | T]) -> zeros(H) ++ zeros(T);
zeros(_) -> [].
